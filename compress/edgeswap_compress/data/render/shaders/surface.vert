in vec3 position;  // posed, dm
in vec3 normal;    // posed
in float key_seen; // share of the main light that reaches this vertex
in vec3 rest;      // where marks, regions and patterns are anchored, dm
in vec2 uv;
in float inner;    // the source's share in the inner face
in float rim_inner; // the same, one ring wider: what the mask shows
in float open_sky; // share of the surroundings that this vertex sees

out vec3 world;
out vec3 world_normal;
out vec3 anchor;
out vec2 texel;
out float source_share;
out float mask_share;
out float sky_seen;
out float light_seen;

void main() {
    gl_Position = clip * vec4(position, 1.0);
    world = position;
    world_normal = normal;
    anchor = rest;
    texel = uv;
    source_share = inner;
    mask_share = rim_inner;
    sky_seen = open_sky;
    light_seen = key_seen;
}
