// The normal of a surface whose height (dm) varies from pixel to pixel. Mikkelsen 2010, section 3.
vec3 bumped(vec3 n, vec3 at, float height) {
    vec3 dx = dFdx(at), dy = dFdy(at);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float det = dot(dx, r1);
    vec3 slope = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2);
    return unit(abs(det) * n - slope);
}
