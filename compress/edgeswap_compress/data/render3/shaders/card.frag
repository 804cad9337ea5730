// Thin textured sheets that belong to the inner face: brows, lashes, moustache.
uniform sampler2D strands;
uniform vec3 color;
uniform float opacity;
uniform float density;  // layers of hair on top of each other

void main() {
    float a = opacity * (1.0 - pow(1.0 - texture(strands, texel).a, density));
    if (a < 0.02) discard;
    vec3 n = normalize(world_normal), view = normalize(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    vec3 light = key_color.rgb * wrapped(n, vec3(0.4)) * light_seen + ambient(n);
    picture = vec4(develop(color * light), a);
    mask = vec4(1.0, 0.0, 0.0, a);
}
