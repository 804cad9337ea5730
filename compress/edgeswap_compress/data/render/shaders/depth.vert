in vec3 position;

void main() { gl_Position = clip * vec4(position, 1.0); }
