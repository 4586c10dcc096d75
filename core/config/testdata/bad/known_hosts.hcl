sandbox "a" {
  image       = "base"
  known_hosts = ["git.example.com ssh-ed25519"]
}
