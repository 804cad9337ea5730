// One of several layers of a beard over the skin. Premultiplied.
uniform vec3 color;
uniform float layer;    // 0 skin .. 1 tips
uniform float density;  // 0 .. 1
uniform float reach;    // 0 chin and upper lip only .. 1 up to the ears
uniform float lift;     // of the line on the cheeks, dm

float region() {
    float x = abs(anchor.x);
    float line = 6.66 + lift - 0.10 * smoothstep(0.1, 0.4, x) + 0.75 * smoothstep(0.38, 0.75, x) * reach;
    float below = smoothstep(0.08, -0.04, anchor.y - line);
    float lips = length(vec2(anchor.x / 0.30, (anchor.y - 6.60) / 0.115));
    float clear = smoothstep(0.85, 1.15, lips);
    float lip_hair = smoothstep(1.1, 0.9, length(vec2(anchor.x / 0.36, (anchor.y - 6.745) / 0.085)));
    float side = mix(smoothstep(0.42, 0.30, x), smoothstep(-0.25, 0.05, anchor.z), reach);
    float under = smoothstep(5.80, 6.0, anchor.y);
    return max(below * side * under, 0.9 * lip_hair * smoothstep(6.66, 6.72, anchor.y)) * clear;
}

void main() {
    // The mouth's inside is skin too, but grows no hair.
    if (abs(anchor.x) < 0.36 && abs(anchor.y - 6.58) < 0.3 && anchor.z < 1.18) discard;
    float where = region();
    // An uneven edge, as hair grows.
    where = smoothstep(0.0, 1.0, where + 0.5 * (fractal(anchor * 9.0) - 0.5) * (1.0 - where));
    if (where < 0.02) discard;
    // Thin hairs that hang and wave.
    vec3 wave = 0.03 * vec3(noise(anchor * 7.0), 0.0, noise(anchor * 7.0 + 11.0));
    vec3 along = (anchor + wave) * vec3(150.0, 34.0, 150.0);
    float hairs = 0.6 * noise(along) + 0.4 * noise(anchor * vec3(47.0, 14.0, 47.0) + 3.0);
    float share = density * where * (1.0 - 0.6 * layer);
    float threshold = mix(0.78, 0.24, share);
    float a = smoothstep(threshold - 0.16, threshold + 0.16, hairs) * smoothstep(0.0, 0.3, where);
    if (layer < 0.1) a = max(a, 0.75 * density * where);  // the shade between the roots
    if (a < 0.02) discard;
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    vec3 base = color * (0.45 + 0.65 * layer) * (0.5 + hairs);
    float seen = light_seen * cast_light_once(world);
    vec3 light = key_color.rgb * wrapped(n, vec3(0.3)) * seen + ambient(n) * sky_seen;
    vec3 shaded = base * light + key_color.rgb * seen * (0.02 + base) * highlight(n, view, 14.0);
    shaded += rim(base, n, view);
    picture = vec4(shaded * a, a);
}
