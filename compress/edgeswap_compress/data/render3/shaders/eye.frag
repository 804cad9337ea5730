uniform sampler2D iris;
uniform vec3 tint;      // log tint of the iris
uniform bool transparent;    // the second, transparent pass

void main() {
    vec4 t = texture(iris, texel);
    if (transparent == (t.a >= 0.9)) discard;
    float saturation = max(t.r, max(t.g, t.b)) - min(t.r, min(t.g, t.b));
    vec3 base = linear_rgb(t.rgb) * 0.78;
    base *= mix(vec3(1.0), exp(tint), smoothstep(0.10, 0.28, saturation));
    // The upper lid and the lashes shade the eyeball, its corners lie deep.
    float shade = mix(0.40, 1.0, smoothstep(7.425, 7.315, anchor.y)) * smoothstep(1.22, 1.34, anchor.z);
    vec3 n = normalize(world_normal), view = normalize(camera.xyz - world);
    vec3 light = (key_color.rgb * wrapped(n, vec3(0.2)) + ambient(n)) * shade;
    vec3 color = base * light + key_color.rgb * 1.6 * highlight(n, view, 260.0);
    picture = vec4(develop(color), transparent ? t.a : 1.0);
    mask = vec4(1.0, 0.0, 0.0, picture.a);
}
