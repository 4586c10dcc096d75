locals {
  text = file("missing.txt")
}
