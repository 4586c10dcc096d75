sandbox "box" {
  image = "docker.io/library/node:22-slim"
}
