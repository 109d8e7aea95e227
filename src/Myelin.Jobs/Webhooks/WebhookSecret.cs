using System.Security.Cryptography;
using System.Text;
using Myelin.Hosting.Configuration;

namespace Myelin.Jobs.Webhooks;

/// <summary>
/// Keys of webhook signatures. A job may bring its own; the others are signed with the server's: <c>webhooks.secret</c>, or
/// one made when it is first needed and kept in <c>webhook-secret</c> of the data folder, readable by the owner alone.
/// </summary>
internal static class WebhookSecret
{
    public const string FileName = "webhook-secret";

    /// <summary>Standard Webhooks' mark of a base64 key. Without it, the characters themselves are the key.</summary>
    private const string Prefix = "whsec_";

    public static byte[] Key(string secret)
    {
        if (secret.StartsWith(Prefix, StringComparison.Ordinal))
        {
            var key = new byte[secret.Length];
            if (Convert.TryFromBase64String(secret[Prefix.Length..], key, out var length))
            {
                return key[..length];
            }
        }

        return Encoding.UTF8.GetBytes(secret);
    }

    /// <summary>Reads the server's secret, or makes it. The file appears whole: written aside, then moved.</summary>
    public static string LoadOrCreate(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            DataFolder.Make(folder);
            var aside = path + ".new";
            File.Delete(aside);
            using (var file = new FileStream(aside, DataFolder.Private(new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write })))
            {
                file.Write(Encoding.ASCII.GetBytes(Prefix + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))));
                file.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: false);
        }

        DataFolder.Tighten(path);
        return File.ReadAllText(path).Trim();
    }
}
