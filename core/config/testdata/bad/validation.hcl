variable "n" {
  default = 3

  validation {
    condition     = var.n > 5
    error_message = "It must be more than five."
  }
}
