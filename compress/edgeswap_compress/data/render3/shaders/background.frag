in vec2 place;
layout(location = 0) out vec4 picture;
layout(location = 1) out vec4 mask;
uniform vec3 first, second, third;
uniform float seed;
uniform int kind;  // 0 soft gradient, 1 blotches, 2 panels

float patches(vec2 p) {
    vec3 q = vec3(p, seed);
    return 0.6 * noise(q * 1.7) + 0.3 * noise(q * 4.1) + 0.1 * noise(q * 9.0);
}

void main() {
    float n = patches(place + 20.0);
    vec3 color = mix(first, second, smoothstep(-1.0, 1.0, place.y + 0.6 * (n - 0.5)));
    if (kind == 1) color = mix(color, third, smoothstep(0.45, 0.62, n));
    if (kind == 2) {
        vec2 cell = place * vec2(1.3, 0.9) + 0.1 * seed;
        vec2 inside = abs(fract(cell) - 0.5);
        float panel = noise(vec3(floor(cell), seed) * 1.7);
        color = mix(color, third, panel * smoothstep(0.47, 0.44, max(inside.x, inside.y)));
    }
    picture = vec4(pow(clamp(color, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
    mask = vec4(0.0, 0.0, 0.0, 1.0);
}
