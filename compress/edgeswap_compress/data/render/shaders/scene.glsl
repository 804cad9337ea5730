// Shared by every program: the scene's light. All colors are linear RGB; the camera comes later.
layout(std140) uniform Scene {
    mat4 clip;
    mat4 lamp;           // world to the shadow map, -1 .. 1
    vec4 camera;         // xyz position, dm
    vec4 key_direction;  // unit, towards the light
    vec4 key_color;
    vec4 sky_color;
    vec4 ground_color;
    vec4 rim_direction;
    vec4 rim_color;
    vec4 clothing;       // w: height below which skin is clothed, dm, rest frame
    vec4 shadow;         // x: blur of shadow edges, y: strength of cast, z: of the face's own shadows
};
uniform sampler2DShadow cast_map;  // what stands before the face, seen from the lamp
uniform sampler2DShadow self_map;  // the face itself

// A unit vector, or 0 where there is no direction: one bad pixel would spoil a blurred picture.
vec3 unit(vec3 v) { return v * inversesqrt(max(dot(v, v), 1e-16)); }

vec3 linear_rgb(vec3 texel) { return pow(texel, vec3(2.2)); }

vec3 ambient(vec3 normal) { return mix(ground_color.rgb, sky_color.rgb, 0.5 + 0.5 * normal.y); }

// Diffuse light that wraps around the terminator, each channel by its own amount (skin: red most).
vec3 wrapped(vec3 normal, vec3 wrap) {
    return clamp((dot(normal, key_direction.xyz) + wrap) / (1.0 + wrap), 0.0, 1.0);
}

float fresnel(float cosine) { return 0.04 + 0.96 * pow(1.0 - clamp(cosine, 0.0, 1.0), 5.0); }

// Blinn-Phong with the usual normalization.
float highlight(vec3 normal, vec3 view, float exponent) {
    vec3 halfway = unit(key_direction.xyz + view);
    float facing = smoothstep(0.0, 0.1, dot(normal, key_direction.xyz));
    float lobe = pow(max(dot(normal, halfway), 0.0), exponent) * (exponent + 8.0) / 25.1;
    return facing * lobe * fresnel(dot(view, halfway));
}

vec3 rim(vec3 albedo, vec3 normal, vec3 view) {
    float behind = dot(normal, rim_direction.xyz);
    float edge = pow(1.0 - max(dot(normal, view), 0.0), 4.0) * clamp(behind + 0.3, 0.0, 1.0);
    return rim_color.rgb * (albedo * clamp(behind, 0.0, 1.0) + 0.2 * edge);
}

float lit_at(sampler2DShadow map, vec3 p, vec2 aside) {
    return texture(map, vec3(p.xy + aside * shadow.x, p.z));
}

// Share of the light that reaches a point, between four places of the map.
float lit(sampler2DShadow map, vec3 at, float bias) {
    vec3 p = 0.5 + 0.5 * (lamp * vec4(at, 1.0)).xyz - vec3(0.0, 0.0, bias);
    return 0.25 * (lit_at(map, p, vec2(-0.7, -0.3)) + lit_at(map, p, vec2(0.3, -0.7))
                   + lit_at(map, p, vec2(0.7, 0.3)) + lit_at(map, p, vec2(-0.3, 0.7)));
}

// Share of the main light that passes what stands before the face.
float cast_light(vec3 at) { return 1.0 - shadow.y * (1.0 - lit(cast_map, at, 0.006)); }

// The same, cheaper and harder, for what is thin or small.
float cast_light_once(vec3 at) {
    vec3 p = 0.5 + 0.5 * (lamp * vec4(at, 1.0)).xyz - vec3(0.0, 0.0, 0.006);
    return 1.0 - shadow.y * (1.0 - lit_at(cast_map, p, vec2(0.0)));
}
