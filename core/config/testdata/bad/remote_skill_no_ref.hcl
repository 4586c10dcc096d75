skill "remote" "s" {
  source = "git::https://git.example/skills.git//review"
}
