locals {
  t = templatefile("template.tmpl", { name = "x" })
}
