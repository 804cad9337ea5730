// Spectacle lenses: a tint that is partly opaque, and reflections that are added.
uniform vec4 tint;      // linear RGB; a: opacity
uniform vec4 window;    // direction of a bright window, w: its strength
uniform float mirror;   // strength of all reflections

void main() {
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    vec3 r = reflect(-view, n);
    float f = mirror * fresnel(dot(n, view));
    // A window of four panes somewhere behind the camera.
    vec3 side = unit(cross(vec3(0.0, 1.0, 0.0), window.xyz));
    vec2 at = vec2(dot(r, side), dot(r, cross(window.xyz, side))) * 3.2;
    vec2 pane = smoothstep(0.50, 0.44, abs(at)) * smoothstep(0.015, 0.05, abs(at));
    float bright = pane.x * pane.y * step(0.0, dot(r, window.xyz)) * window.w;
    vec3 glare = (ambient(r) + bright * (key_color.rgb + sky_color.rgb)) * f;
    glare += key_color.rgb * mirror * 0.5 * highlight(n, view, 300.0);
    float fade = mix(1.0, 0.7, texel.y);  // gradient tints are lighter below
    float a = clamp(tint.a * fade, 0.0, 1.0);
    picture = vec4(tint.rgb * ambient(n) * a + glare, a);
}
