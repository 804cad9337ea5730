// Hair and beards of cards. The result is premultiplied by its opacity.
uniform sampler2D strands;
uniform vec3 color;
uniform float streaks;     // variation from strand to strand
uniform bool transparent;  // the second, transparent pass

void main() {
    vec4 t = texture(strands, texel);
    if (transparent ? (t.a >= 0.6 || t.a < 0.03) : t.a < 0.6) discard;
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    float strand = noise(vec3(texel * vec2(160.0, 6.0), 3.0)) - 0.5;
    vec3 base = color * (0.30 + 1.5 * dot(t.rgb, vec3(0.3333))) * exp(streaks * strand);
    float seen = 0.25 + 0.75 * cast_light_once(world + 0.12 * view);
    vec3 light = key_color.rgb * wrapped(n, vec3(0.2)) * seen + ambient(n) * 0.8;
    vec3 shaded = base * light;
    shaded += key_color.rgb * seen * (0.05 + base) * highlight(n, view, 22.0) * (1.0 + 1.4 * strand);
    shaded += rim(base, n, view);
    float a = transparent ? t.a : 1.0;
    picture = vec4(shaded * a, a);
}
