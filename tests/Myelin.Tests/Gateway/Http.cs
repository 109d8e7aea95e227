using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Myelin.Protocol;
using Shouldly;

namespace Myelin.Tests.Gateway;

/// <summary>Short forms of what the tests of the gateway send and read.</summary>
internal static class Http
{
    public static StringContent Json(string json) => new(json, Encoding.UTF8, "application/json");

    public static StringContent Faces(byte[] picture, string rest = "") =>
        Json($$"""{"model":"faces","input":{"image":"{{Convert.ToBase64String(picture)}}"}{{(rest.Length == 0 ? "" : "," + rest)}}}""");

    public static MultipartFormDataContent Form(byte[] picture, string contentType = "image/jpeg", string model = "faces", params (string Name, string Value)[] fields)
    {
        var file = new ByteArrayContent(picture);
        file.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        var form = new MultipartFormDataContent { { new StringContent(model), "model" }, { file, "image", "photo.jpg" } };
        foreach (var (name, value) in fields)
        {
            form.Add(new StringContent(value), name);
        }

        return form;
    }

    public static async Task<Job> ReadJobAsync(this HttpResponseMessage response)
    {
        var text = await response.Content.ReadAsStringAsync();
        response.IsSuccessStatusCode.ShouldBeTrue($"{(int)response.StatusCode}: {text}");
        return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!;
    }

    public static async Task<Problem> ReadProblemAsync(this HttpResponseMessage response)
    {
        var text = await response.Content.ReadAsStringAsync();
        response.Content.Headers.ContentType?.MediaType.ShouldBe(Problem.ContentType, text);
        var problem = JsonSerializer.Deserialize(text, JsonContext.Default.Problem)!;
        problem.Status.ShouldBe((int)response.StatusCode);
        problem.Detail.ShouldNotBeNullOrEmpty();
        return problem;
    }

    public static async Task<Problem> PostForProblemAsync(this HttpClient http, string path, HttpContent content) =>
        await (await http.PostAsync(path, content)).ReadProblemAsync();

    public static async Task<Job> SubmitAsync(this HttpClient http, HttpContent content, string query = "") =>
        await (await http.PostAsync("/v1/jobs" + query, content)).ReadJobAsync();

    public static Task<Job?> GetJobAsync(this HttpClient http, string id) => http.GetFromJsonAsync("/v1/jobs/" + id, JsonContext.Default.Job);
}
