// Shared by every program: the scene, and how light becomes a pixel. All colors are linear RGB.
layout(std140) uniform Scene {
    mat4 clip;
    vec4 camera;         // xyz position, dm
    vec4 key_direction;  // unit, towards the light
    vec4 key_color;
    vec4 sky_color;
    vec4 ground_color;
    vec4 rim_direction;
    vec4 rim_color;
    vec4 clothing;       // w: height below which skin is clothed, dm, rest frame
    vec4 film;           // x: exposure
};

const float WHITE = 3.2;  // the linear value that becomes 1

// Extended Reinhard: keeps highlights from clipping. Reinhard et al. 2002, equation 4.
vec3 develop(vec3 light) {
    light *= film.x;
    vec3 mapped = light * (1.0 + light / (WHITE * WHITE)) / (1.0 + light);
    return pow(clamp(mapped * 1.42, 0.0, 1.0), vec3(1.0 / 2.2));
}

vec3 linear_rgb(vec3 texel) { return pow(texel, vec3(2.2)); }

vec3 ambient(vec3 normal) {
    return mix(ground_color.rgb, sky_color.rgb, 0.5 + 0.5 * normal.y);
}

// Diffuse light that wraps around the terminator, each channel by its own amount (skin: red most).
vec3 wrapped(vec3 normal, vec3 wrap) {
    return clamp((dot(normal, key_direction.xyz) + wrap) / (1.0 + wrap), 0.0, 1.0);
}

float fresnel(float cosine) { return 0.04 + 0.96 * pow(1.0 - clamp(cosine, 0.0, 1.0), 5.0); }

// Blinn-Phong with the usual normalization.
float highlight(vec3 normal, vec3 view, float exponent) {
    vec3 halfway = normalize(key_direction.xyz + view);
    float facing = step(0.0, dot(normal, key_direction.xyz));
    float lobe = pow(max(dot(normal, halfway), 0.0), exponent) * (exponent + 8.0) / 25.1;
    return facing * lobe * fresnel(dot(view, halfway));
}

vec3 rim(vec3 albedo, vec3 normal, vec3 view) {
    float behind = dot(normal, rim_direction.xyz);
    float edge = pow(1.0 - max(dot(normal, view), 0.0), 4.0) * clamp(behind + 0.3, 0.0, 1.0);
    return rim_color.rgb * (albedo * clamp(behind, 0.0, 1.0) + 0.2 * edge);
}
