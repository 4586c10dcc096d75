package pluginhost

const hostProgram = "doomed-host"

func runDoomedHost() {}
