variable "symbol" {
  default = "X"
}

locals {
  s = var.symbl
}
