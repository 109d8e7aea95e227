using Myelin.Hosting.Accounts;
using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Server;
using Myelin.Serving.Models;

if (args is ["--help" or "-h" or "help", ..] || args.Contains("--help"))
{
    Console.Write(Help.Text(new MyelinOptions { Sections = MyelinServer.Capabilities.Sections() }));
    return 0;
}

if (args is ["--version"])
{
    Console.WriteLine(typeof(Program).Assembly.GetName().Version?.ToString(3));
    return 0;
}

if (args is ["model", .. var modelArgs])
{
    return await ModelCommand.RunAsync(modelArgs);
}

var flags = args is ["serve", .. var rest] ? rest : args;
var keysArgs = args is ["keys", .. var words] ? words : null;
var (options, errors) = OptionsReader.Read(keysArgs is null ? flags : [], Environment.GetEnvironmentVariable, MyelinServer.Capabilities.Sections());
string[] wrong = [.. errors, .. MyelinServer.Errors(options)];
if (wrong.Length > 0)
{
    await Console.Error.WriteLineAsync(string.Join(Environment.NewLine, wrong));
    return 2;
}

return keysArgs is null ? ProcessEnd.Now(await MyelinServer.RunAsync(options)) : await KeysCommand.RunAsync(keysArgs, options);
