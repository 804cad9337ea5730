in vec3 world;
in vec3 world_normal;
in vec3 anchor;
in vec2 texel;
in float source_share;
in float mask_share;
in float sky_seen;
in float light_seen;

layout(location = 0) out vec4 picture;
layout(location = 1) out vec4 mask;  // the inner face; blended with the picture's opacity
