uniform sampler2D teeth;
uniform bool tongue;

void main() {
    vec3 base = vec3(0.36, 0.12, 0.11);
    if (!tongue) {
        vec3 t = texture(teeth, texel).rgb;
        float gum = smoothstep(0.10, 0.24, t.r - t.g);
        // The texture's enamel is bluish: keep its lightness, give it the color of ivory.
        vec3 enamel = vec3(0.66, 0.60, 0.49) * linear_rgb(vec3(dot(t, vec3(0.3333)))) * 1.15;
        base = mix(enamel, linear_rgb(t) * vec3(0.75, 0.6, 0.6), gum);
    }
    float depth = smoothstep(1.02, 1.50, anchor.z);  // little light comes far into the mouth
    vec3 n = normalize(world_normal), view = normalize(camera.xyz - world);
    vec3 light = (key_color.rgb * wrapped(n, vec3(0.3)) * 0.75 + ambient(n)) * depth;
    vec3 color = base * light + key_color.rgb * 0.35 * depth * highlight(n, view, 60.0);
    picture = vec4(develop(color), 1.0);
    mask = vec4(1.0, 0.0, 0.0, 1.0);
}
