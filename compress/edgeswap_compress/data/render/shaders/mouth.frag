uniform sampler2D teeth;
uniform bool tongue;
uniform vec3 enamel;  // color of the teeth

void main() {
    vec3 base = vec3(0.34, 0.11, 0.10);
    if (!tongue) {
        vec3 t = texture(teeth, texel).rgb;
        float gum = smoothstep(0.10, 0.24, t.r - t.g);
        // The texture's enamel is bluish: only its lightness is taken.
        vec3 tooth = enamel * linear_rgb(vec3(dot(t, vec3(0.3333)))) * 1.25;
        base = mix(tooth, linear_rgb(t) * vec3(0.75, 0.55, 0.55), gum);
    }
    float depth = smoothstep(1.00, 1.42, anchor.z);  // little light comes far into the mouth
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    float seen = depth * cast_light_once(world);
    vec3 light = key_color.rgb * wrapped(n, vec3(0.4)) * 0.85 * seen + ambient(n) * depth;
    vec3 color = base * light + key_color.rgb * 0.45 * seen * highlight(n, view, 60.0);
    picture = vec4(color, 1.0);
    mask = vec4(1.0, 0.0, 0.0, 1.0);
}
