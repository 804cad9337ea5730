in vec2 texel;
uniform sampler2D strands;

void main() {
    if (texture(strands, texel).a < 0.5) discard;  // between the strands light passes
}
