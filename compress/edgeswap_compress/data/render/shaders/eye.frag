uniform sampler2D iris;
uniform vec3 tint;         // log tint of the iris
uniform vec3 sclera;       // color of the white
uniform bool transparent;  // the second, transparent pass

void main() {
    vec4 t = texture(iris, texel);
    if (transparent == (t.a >= 0.9)) discard;
    float saturation = max(t.r, max(t.g, t.b)) - min(t.r, min(t.g, t.b));
    float colored = smoothstep(0.10, 0.28, saturation);
    vec3 base = linear_rgb(t.rgb) * mix(sclera, exp(tint) * 0.78, colored);
    // The upper lid and the lashes shade the eyeball, its corners lie deep.
    float shade = mix(0.40, 1.0, smoothstep(7.425, 7.315, anchor.y)) * smoothstep(1.22, 1.34, anchor.z);
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    float light = cast_light_once(world);
    vec3 color = base * (key_color.rgb * wrapped(n, vec3(0.2)) * light + ambient(n)) * shade;
    color += key_color.rgb * light * 1.2 * highlight(n, view, 260.0);
    color += 0.25 * shade * ambient(reflect(-view, n)) * fresnel(dot(n, view));
    picture = vec4(color, transparent ? t.a : 1.0);
    mask = vec4(1.0, 0.0, 0.0, picture.a);
}
