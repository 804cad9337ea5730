"""Import IP-Adapters of faces: FaceID, FaceID Plus, Plus-face and InstantID's, on SD 1 and XL."""
