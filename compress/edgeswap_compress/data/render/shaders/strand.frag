// Single hairs as ribbons: texel.x across, texel.y from root to tip. Premultiplied.
uniform vec3 color;
uniform float opacity;

void main() {
    float across = 2.0 * texel.x - 1.0;
    float a = opacity * (1.0 - across * across) * (1.0 - 0.75 * texel.y * texel.y);
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    vec3 base = color * (0.75 + 0.5 * hash(anchor * 91.0));
    vec3 light = key_color.rgb * wrapped(n, vec3(0.3)) + ambient(n);
    vec3 shaded = base * light + key_color.rgb * (0.03 + base) * highlight(n, view, 18.0);
    shaded += rim(base, n, view);
    picture = vec4(shaded * a, a);
}
