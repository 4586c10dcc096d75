variable "n" {
  type    = number
  default = "x"
}
