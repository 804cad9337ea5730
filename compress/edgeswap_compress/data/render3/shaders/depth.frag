out float distance_seen;

void main() { distance_seen = gl_FragCoord.z; }
