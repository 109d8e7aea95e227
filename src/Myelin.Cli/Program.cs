using Myelin.Cli;

return await CommandLine.RunAsync(args);
