using System.Text;

namespace Myelin.Hosting.Configuration;

/// <summary>What <c>--help</c> prints, made from the options themselves.</summary>
internal static class Help
{
    public static string Text(MyelinOptions defaults)
    {
        var text = new StringBuilder("""
            myelin-server: runs neural networks as services

            usage
              myelin-server [serve] [flags]              start the server (also: myelin serve)
              myelin-server keys create|list|revoke      API keys (needed on any address but loopback)
              myelin-server model check FOLDER           validate a model folder, all errors at once

            Each setting is a flag, an environment variable and a key of myelin.yaml (--config names another file);
            the flag wins over the environment, the environment over the file. Durations: 500ms 30s 5m 2h 7d.
            Sizes: 1048576 64MiB 2GB.


            """);
        foreach (var section in Setting.Of(defaults).GroupBy(s => s.Key.Contains('.', StringComparison.Ordinal) ? s.Key[..s.Key.IndexOf('.', StringComparison.Ordinal)] : "server"))
        {
            text.AppendLine(section.Key);
            foreach (var setting in section)
            {
                text.AppendLine($"  {setting.Flag,-30} {setting.Description}")
                    .AppendLine($"  {"",-30} {setting.Environment}, {setting.Key}; default {SettingValue.Format(setting.Default)}");
            }

            text.AppendLine();
        }

        return text.Append("""
            Every variable may come from a file: MYELIN_STORAGE_CONNECTION_FILE=/run/secrets/connection.

            example
              myelin-server --urls http://127.0.0.1:8080 --data /var/lib/myelin
              curl -F model=faces -F image=@photo.jpg 'http://127.0.0.1:8080/v1/jobs?wait=30s'

            """).ToString();
    }
}
