sandbox "a" {
  image = "base"

  deploy_key "site" {
    source = "nowhere/id_ed25519"
  }
}
