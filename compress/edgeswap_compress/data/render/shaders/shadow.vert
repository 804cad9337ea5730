in vec3 position;
in vec2 uv;
out vec2 texel;

void main() {
    gl_Position = lamp * vec4(position, 1.0);
    texel = uv;
}
