struct Person {
    vec4 mix_gloss_seed_age;  // blend of the two skins, gloss, place of marks, wrinkles
    vec4 marks;               // freckles, blush, eye shadow, stubble
    vec4 tint_rings;          // log tint, dark rings
    vec4 lips_tone;           // log tint of the lips; w: roughness of the skin's relief
    vec4 beard;               // linear RGB of stubble
    vec4 tone;                // factor that turns this skin's mean color into the wearer's
    vec4 patches;             // redness, blotchiness, unused, unused
};
uniform Person wearer;
uniform Person worn;
uniform vec3 skin_mean;  // of the wearer's face, to which the worn skin is toned
uniform sampler2D wearer_skin_a, wearer_skin_b, worn_skin_a, worn_skin_b, lips;

const vec3 LUMA = vec3(0.21, 0.72, 0.07);

float blob(vec2 center, vec2 radii) {
    vec2 d = (vec2(abs(anchor.x), anchor.y) - center) / radii;
    return exp(-dot(d, d));
}

float stroke(vec2 a, vec2 b, float width) {
    vec2 p = vec2(abs(anchor.x), anchor.y) - a, line = b - a;
    vec2 d = p - line * clamp(dot(p, line) / dot(line, line), 0.0, 1.0);
    return exp(-dot(d, d) / (width * width));
}

// Round spots: at most one in each cell of a jittered lattice, in a share of the cells.
float dots(vec3 p, float share, float radius) {
    vec3 cell = floor(p);
    vec3 jitter = vec3(hash(cell), hash(cell + 31.7), hash(cell + 57.3)) - 0.5;
    float away = length(p - cell - 0.5 - 0.5 * jitter);
    return step(hash(cell + 11.1), share) * smoothstep(radius, 0.4 * radius, away);
}

float beard_region(float lip) {
    float below = 1.0 - smoothstep(6.72, 6.92, anchor.y + 0.35 * max(0.0, abs(anchor.x) - 0.35));
    float side = smoothstep(0.05, 0.35, anchor.z);
    return below * side * smoothstep(5.85, 6.1, anchor.y) * (1.0 - lip);
}

// Forehead lines, frown, crow's feet, the folds from nose to mouth: depth, 0 .. 1.
float wrinkle_lines(float seed) {
    float wave = sin(anchor.y * 62.0 + 5.0 * noise(anchor * vec3(2.2, 1.0, 1.0) + seed));
    float forehead = smoothstep(0.45, 1.0, wave) * blob(vec2(0.0, 7.92), vec2(0.45, 0.18));
    float fold = stroke(vec2(0.20, 6.93), vec2(0.36, 6.58), 0.03);
    float frown = 0.35 * stroke(vec2(0.06, 7.45), vec2(0.05, 7.62), 0.018);
    float feet = sin(anchor.y * 75.0 + 20.0 * anchor.x) * blob(vec2(0.56, 7.27), vec2(0.07, 0.10));
    return 0.4 * forehead + 0.8 * fold + frown + 0.5 * max(feet, 0.0);
}

// What the skin's color and its relief are. Returns the color; `height` in dm.
vec3 albedo(Person who, vec3 texel_a, vec3 texel_b, float lip, out float height) {
    float seed = who.mix_gloss_seed_age.z;
    vec3 skin = mix(linear_rgb(texel_a), linear_rgb(texel_b), who.mix_gloss_seed_age.x);
    skin *= exp(who.tint_rings.rgb) * who.tone.rgb;
    // Lips keep the texture's lightness, and their color is always redder than the face's.
    vec3 red = skin_mean * dot(skin, LUMA) / dot(skin_mean, LUMA) * vec3(1.13, 0.79, 0.93);
    skin = mix(skin, red * exp(who.lips_tone.rgb), 0.85 * lip);
    float fine = noise(anchor * 61.0 + seed);
    float coarse = fractal(anchor * 13.0 + seed);
    skin *= 1.0 + (0.20 + 0.25 * who.patches.y) * (coarse - 0.5) + 0.10 * (fine - 0.5);
    float rosy = blob(vec2(0.44, 6.92), vec2(0.17, 0.16)) + 0.8 * blob(vec2(0.0, 6.92), vec2(0.14, 0.12))
               + 0.4 * blob(vec2(0.0, 6.30), vec2(0.16, 0.10)) + 0.25 * blob(vec2(0.0, 7.75), vec2(0.4, 0.2));
    skin *= exp(who.patches.x * rosy * (0.6 + 0.8 * coarse) * vec3(0.02, -0.22, -0.20));
    if (who.marks.x > 0.0) {
        vec2 spread = vec2(anchor.x, anchor.y - 7.0) / vec2(0.55, 0.30);
        float freckled = (0.15 + 0.85 * exp(-dot(spread, spread))) * (1.0 - lip);
        float freckle = dots(anchor * 21.0 + seed * 3.0, 0.8, 0.42);
        skin *= 1.0 - 0.42 * who.marks.x * freckled * freckle * vec3(0.55, 1.0, 1.2);
    }
    skin *= 1.0 - 0.6 * dots(anchor * 2.6 + seed * 7.0, 0.16, 0.075);  // moles
    float flush = blob(vec2(0.44, 6.92), vec2(0.17, 0.16)) + 0.5 * blob(vec2(0.0, 6.92), vec2(0.12, 0.1));
    skin *= exp(who.marks.y * flush * vec3(0.04, -0.28, -0.22));
    float lid = blob(vec2(0.31, 7.43), vec2(0.18, 0.075));
    skin *= exp(-who.marks.z * lid * vec3(0.75, 0.95, 0.75));
    float ring = blob(vec2(0.27, 7.11), vec2(0.15, 0.06));
    skin *= exp(-who.tint_rings.a * ring * vec3(0.35, 0.48, 0.42));
    height = who.lips_tone.w * (0.0035 * fine + 0.006 * coarse) * (1.0 - 0.5 * lip);
    if (who.mix_gloss_seed_age.w > 0.0) {
        float lines = who.mix_gloss_seed_age.w * wrinkle_lines(seed);
        skin *= exp(-0.30 * lines * vec3(0.8, 1.0, 1.05));
        height -= 0.012 * lines;
    }
    if (who.marks.w > 0.0) {
        float hairs = 0.55 + 0.9 * noise(anchor * 75.0 + seed);
        float shade = clamp(1.1 * who.marks.w * beard_region(lip) * hairs, 0.0, 0.92);
        skin = mix(skin, who.beard.rgb + 0.18 * skin, shade);
    }
    return skin;
}

void main() {
    float lip = texture(lips, texel).r;
    // Only what is seen is computed: the two people overlap in a narrow band alone.
    vec3 skin = vec3(0.0);
    float height = 0.0, relief;
    if (source_share < 1.0) {
        skin = (1.0 - source_share) * albedo(
            wearer, texture(wearer_skin_a, texel).rgb, texture(wearer_skin_b, texel).rgb, lip, relief);
        height = (1.0 - source_share) * relief;
    }
    if (source_share > 0.0) {
        skin += source_share * albedo(
            worn, texture(worn_skin_a, texel).rgb, texture(worn_skin_b, texel).rgb, lip, relief);
        height += source_share * relief;
    }
    float gloss = mix(wearer.mix_gloss_seed_age.y, worn.mix_gloss_seed_age.y, source_share);
    // A round collar: higher on the shoulders than at the throat.
    float from_neck = length(vec2(anchor.x, anchor.z - 0.1));
    bool clothed = anchor.y < clothing.w + 0.45 * smoothstep(0.55, 0.95, from_neck);
    vec3 wrap = clothed ? vec3(0.1) : vec3(0.34, 0.16, 0.10);
    if (clothed) {
        skin = clothing.rgb * (0.85 + 0.3 * noise(anchor * vec3(60.0, 8.0, 60.0)));
        gloss = 0.0;
        height = 0.0;
    }
    vec3 n = bumped(unit(world_normal), world, height), view = unit(camera.xyz - world);
    // Only inside the inner face is the face's own sharp shadow its own: outside it is the target's.
    float own = shadow.z * source_share;
    float passed = cast_light(world);
    float light = light_seen * passed;
    if (own > 0.0) light *= 1.0 - own * (1.0 - lit(self_map, world + 0.03 * n, 0.008));
    vec3 color = skin * (key_color.rgb * wrapped(n, wrap) * light + ambient(n) * sky_seen);
    float strength = (clothed ? 0.1 : mix(0.25, 0.9, gloss) + 0.7 * lip) * light;
    color += key_color.rgb * strength * highlight(n, view, mix(12.0, 36.0, gloss));
    color += rim(skin, n, view) * passed;
    picture = vec4(color, 1.0);
    mask = vec4(mask_share, 0.0, 0.0, 1.0);
}
