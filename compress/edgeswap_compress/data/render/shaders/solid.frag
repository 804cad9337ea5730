// Things before the face. The result is premultiplied by its opacity.
uniform int kind;       // 0 plain, 1 stripes, 2 cloth, 3 mesh of wire, 4 skin, 5 spots
uniform vec3 first;     // colors, linear RGB
uniform vec3 second;
uniform float gloss;    // 0 matt .. 1 mirror-like
uniform float scale;    // patterns per unit of `anchor` or `texel`; kind 4: paint on the nails
uniform sampler2D sheet;  // kind 4: skin texture
uniform sampler2D nails;  // kind 4: where fingernails are
uniform bool cut;         // texel.x is the distance to the edge, negative outside

void main() {
    if (cut && texel.x < 0.0) discard;
    vec3 n = unit(world_normal), view = unit(camera.xyz - world);
    if (dot(n, view) < 0.0) n = -n;
    vec3 base = first;
    vec3 wrap = vec3(0.08);
    float shine = gloss, height = 0.0;
    if (kind == 1) base = mix(first, second, smoothstep(0.45, 0.55, fract(texel.y * scale)));
    if (kind == 2) {
        float weave = sin(anchor.x * 190.0) * sin(anchor.y * 190.0);
        float folds = fractal(anchor * vec3(5.0, 9.0, 5.0) * scale);
        base = mix(first, second, smoothstep(0.45, 0.6, fract((anchor.y + 0.08 * folds) * scale * 2.0)));
        base *= 0.92 + 0.08 * weave;
        height = 0.02 * folds;
    }
    if (kind == 3) {
        vec2 wire = abs(fract(texel * scale) - 0.5);
        float gap = smoothstep(0.28, 0.40, max(wire.x, wire.y));
        base = mix(second, first, gap);
        shine *= gap;
    }
    if (kind == 4) {
        float nail = texture(nails, texel).r;
        float coarse = fractal(anchor * 16.0);
        base = linear_rgb(texture(sheet, texel).rgb) * first * (0.85 + 0.3 * coarse);
        base = mix(base, mix(base * vec3(1.22, 1.05, 1.05) + 0.015, second, scale), 0.85 * nail);
        wrap = vec3(0.34, 0.16, 0.10);
        shine = mix(0.22, 0.7, nail);
        height = 0.006 * coarse + 0.004 * noise(anchor * 60.0);
    }
    if (kind == 5) base = mix(first, second, smoothstep(0.55, 0.62, noise(anchor * scale * 6.0)));
    n = bumped(n, world, height);
    float light = kind == 4 ? cast_light_once(world + 0.10 * view) : 1.0;
    vec3 color = base * (key_color.rgb * wrapped(n, wrap) * light + ambient(n) * sky_seen);
    color += key_color.rgb * light * mix(0.1, 1.6, shine) * highlight(n, view, mix(8.0, 120.0, shine));
    color += shine * fresnel(dot(n, view)) * ambient(reflect(-view, n));
    color += rim(base, n, view);
    picture = vec4(color, 1.0);
}
