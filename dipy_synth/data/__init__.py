"""From scans on disk to the volumes a network is trained on."""
