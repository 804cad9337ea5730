uniform sampler2D strands;
uniform vec3 color;
uniform bool transparent;  // the second, transparent pass

void main() {
    vec4 t = texture(strands, texel);
    if (transparent ? (t.a >= 0.6 || t.a < 0.03) : t.a < 0.6) discard;
    vec3 n = normalize(world_normal), view = normalize(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    vec3 base = color * (0.30 + 1.5 * dot(t.rgb, vec3(0.3333)));
    vec3 light = key_color.rgb * wrapped(n, vec3(0.2)) + ambient(n) * 0.8;
    vec3 shaded = base * light + key_color.rgb * (0.06 + base) * highlight(n, view, 22.0);
    shaded += rim(base, n, view);
    picture = vec4(develop(shaded), transparent ? t.a : 1.0);
    mask = vec4(0.0, 0.0, 0.0, picture.a);
}
