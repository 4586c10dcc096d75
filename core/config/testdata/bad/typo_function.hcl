locals {
  a = jsonencod({})
}
