skill "remote" "s" {
  source = "ssh://git@git.example/skills.git"
  ref    = "v1"
}
