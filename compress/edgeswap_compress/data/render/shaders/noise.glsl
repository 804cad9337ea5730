uniform sampler3D grain;  // tileable smooth noise, 0 .. 1, 32 cells a side

float noise(vec3 p) { return texture(grain, p / 32.0).r; }

float fractal(vec3 p) { return 0.62 * noise(p) + 0.38 * noise(p * 2.63 + 7.1); }

float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.11369, 0.13787));
    p += dot(p, p.yxz + 19.19);
    return fract((p.x + p.y) * p.z);
}
