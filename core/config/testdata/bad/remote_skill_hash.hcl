skill "remote" "s" {
  source = "https://host.example/skill.zip"
  hash   = "sha256:00"
}
