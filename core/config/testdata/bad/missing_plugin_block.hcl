skill "toolbox" "s" {
  command = ["x"]
}
