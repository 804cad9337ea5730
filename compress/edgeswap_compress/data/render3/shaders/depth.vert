in vec3 position;
uniform mat4 project;

void main() { gl_Position = project * vec4(position, 1.0); }
