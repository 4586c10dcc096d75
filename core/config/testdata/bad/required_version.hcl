voidbox {
  required_version = ">= 2"
}
