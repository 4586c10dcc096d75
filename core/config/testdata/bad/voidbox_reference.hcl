variable "v" {
  default = ">= 1"
}

voidbox {
  required_version = var.v
}
