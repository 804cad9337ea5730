in vec2 place;
layout(location = 0) out vec4 picture;
layout(location = 1) out vec4 mask;
uniform vec3 first, second, third;
uniform float seed;
uniform float level;
uniform int kind;  // 0 gradient, 1 blotches, 2 panels, 3 lights, 4 leaves, 5 shelves

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
    if (kind == 3) {
        vec2 cell = place * 3.0 + seed;
        vec2 middle = vec2(hash(vec3(floor(cell), 1.0)), hash(vec3(floor(cell), 2.0))) * 0.6 + 0.2;
        float disc = smoothstep(0.22, 0.18, length(fract(cell) - middle));
        color = color * 0.3 + third * disc * 2.5 * hash(vec3(floor(cell), 3.0));
    }
    if (kind == 4) {
        float leaves = noise(vec3(place * 9.0, seed)) * 0.6 + 0.4 * noise(vec3(place * 21.0, seed));
        color = mix(color * 0.25, mix(second, vec3(0.10, 0.22, 0.05), 0.6), smoothstep(0.3, 0.75, leaves));
    }
    if (kind == 5) {
        float row = floor(place.y * 2.2 + seed);
        float column = floor(place.x * 9.0 + 5.0 * hash(vec3(row, seed, 1.0)));
        vec3 book = vec3(hash(vec3(column, row, 1.0)), hash(vec3(column, row, 2.0)), hash(vec3(column, row, 3.0)));
        book = mix(vec3(dot(book, vec3(0.33))), book, 0.45);
        color = mix(color, book * book * 0.6, step(0.12, fract(place.y * 2.2 + seed)));
    }
    picture = vec4(max(color, 0.0) * level, 1.0);
    mask = vec4(0.0, 0.0, 0.0, 1.0);
}
