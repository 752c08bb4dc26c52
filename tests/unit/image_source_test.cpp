#include "daemon/catalogue/builtin.hpp"
#include "daemon/catalogue/reader.hpp"
#include "lib/error.hpp"
#include "lib/toml.hpp"
#include "tests/unit/catalogue_sources.hpp"
#include "tests/unit/golden.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

const FileExists all_there = [](const std::string&) { return true; };
const FileExists none_there = [](const std::string&) { return false; };

/// [image] of a capsuld.toml.
ImageConfig config_of(const std::string& toml) {
    return decode<Config>(toml_to_json(toml, "capsuld.toml")).image;
}

std::vector<ImageSource> sources_of(const std::string& toml) {
    return image_sources(config_of(toml), all_there);
}

std::string refusal_of(const std::string& toml) {
    try {
        static_cast<void>(sources_of(toml));
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        return error.what();
    }
    return "(accepted)";
}

const std::string folder_source = R"(
[[image.source]]
name = "mirror"
kind = "folder"
url = "https://mirror.example.org/debian"
keyring = "/etc/capsul/keyrings/mirror.gpg"

[[image.source.image]]
name = "debian-12"
title = "Debian 12 of our own"
file = "debian-12-{version}-{debian_arch}.qcow2"
sums = "SHA512SUMS"
signature = ".sign"
)";

TEST(ImageSources, AreThoseBuiltInWithoutAConfiguration) {
    const auto sources = image_sources({}, all_there);
    EXPECT_EQ(sources.size(), builtin_sources().size());
    for (const ImageSource& source : sources) {
        EXPECT_TRUE(source.usable);
        EXPECT_FALSE(source.problem);
    }
}

TEST(ImageSources, AskBuiltInOnesForTheseDocuments) {
    Json documents = Json::object();
    for (const ImageSource& source : image_sources({}, all_there)) {
        documents[source.name.to_string()] =
            encode(documents_of(source, {Architecture::x86_64, Architecture::aarch64}));
    }
    expect_golden("builtin-sources.json", dump_json(documents, 2) + "\n");
}

TEST(ImageSources, SayWhatIsMissingToVerifyBuiltInOnes) {
    for (const ImageSource& source : image_sources({}, none_there)) {
        EXPECT_TRUE(source.usable) << "a checksum is something";
        EXPECT_FALSE(source.keyring);
        if (source.name == Name::parse("ubuntu")) {
            EXPECT_EQ(source.problem->message,
                      "its keyring /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg is "
                      "missing: its signatures are not checked");
            EXPECT_NE(source.problem->hint->find("ubuntu-keyring"), std::string::npos);
        }
        for (const CatalogueDocument& document : documents_of(source, {Architecture::x86_64})) {
            EXPECT_FALSE(document.is_signed()) << document.url.to_string();
        }
    }
    EXPECT_EQ(empty_catalogue(image_sources({}, none_there)).problems.size(), 5U);
}

TEST(ImageSources, TakeNothingFromAnOwnOneWhoseKeyringIsMissing) {
    const ImageSource mirror = image_sources(config_of(folder_source), none_there).front();
    EXPECT_FALSE(mirror.usable);
    EXPECT_TRUE(documents_of(mirror, {Architecture::x86_64}).empty());
    ASSERT_TRUE(mirror.problem);
    EXPECT_NE(mirror.problem->message.find("/etc/capsul/keyrings/mirror.gpg is missing"), std::string::npos);
}

TEST(ImageSources, AreAddedByTheConfiguration) {
    const auto sources = sources_of(folder_source);
    ASSERT_EQ(sources.size(), builtin_sources().size() + 1);
    const auto documents = documents_of(sources.front(), {Architecture::aarch64});
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(documents.front().url.to_string(), "https://mirror.example.org/debian/SHA512SUMS");
    EXPECT_EQ(documents.front().signature->to_string(), "https://mirror.example.org/debian/SHA512SUMS.sign");
    EXPECT_TRUE(documents.front().is_signed());
}

TEST(ImageSources, AreSwitchedOffByName) {
    const auto sources = sources_of("[[image.source]]\nname = \"arch\"\nenabled = false\n");
    EXPECT_EQ(sources.size(), builtin_sources().size() - 1);
    EXPECT_EQ(std::ranges::find(sources, Name::parse("arch"), &ImageSource::name), sources.end());
    EXPECT_EQ(sources_of(folder_source +
                         "[[image.source]]\nname = \"other\"\nenabled = false\nkind = \"index\"\n"
                         "url = \"https://x/i.json\"\n")
                  .size(),
              builtin_sources().size() + 1);
}

TEST(ImageSources, TakeAMirrorForABuiltInOne) {
    const auto sources =
        sources_of("[[image.source]]\nname = \"debian\"\nurl = \"https://mirror.example.org/cloud\"\n"
                   "[[image.source.image]]\nname = \"debian-12\"\nfile = \"debian-12-nocloud-"
                   "{debian_arch}.qcow2\"\nsums = \"bookworm/latest/SHA512SUMS\"\n");
    const auto debian = std::ranges::find(sources, Name::parse("debian"), &ImageSource::name);
    ASSERT_NE(debian, sources.end());
    EXPECT_EQ(debian->images.size(), 3U) << "the others stay";
    EXPECT_EQ(documents_of(*debian, {Architecture::x86_64}).front().url.to_string(),
              "https://mirror.example.org/cloud/trixie/latest/SHA512SUMS");
    EXPECT_EQ(debian->images.back().file.to_string(), "debian-12-nocloud-{debian_arch}.qcow2");
}

TEST(ImageSources, WantAnOwnKeyringOfABuiltInOneToBeThere) {
    const auto sources = image_sources(
        config_of("[[image.source]]\nname = \"ubuntu\"\nkeyring = \"/etc/capsul/keyrings/ubuntu.gpg\"\n"),
        none_there);
    const auto ubuntu = std::ranges::find(sources, Name::parse("ubuntu"), &ImageSource::name);
    EXPECT_FALSE(ubuntu->usable);
}

TEST(ImageSources, RefusalsSayWhichAndWhy) {
    const std::string own = "[[image.source]]\nname = \"own\"\n";
    EXPECT_EQ(refusal_of(own), "image.source 'own': 'kind' is missing");
    EXPECT_EQ(refusal_of(own + "kind = \"index\"\n"), "image.source 'own': 'url' is missing");
    EXPECT_EQ(refusal_of(own + "enabled = false\n"),
              "image.source 'own': there is no built-in source of this name to switch off");
    EXPECT_EQ(refusal_of(own + "kind = \"folder\"\nurl = \"https://x/\"\n"),
              "image.source 'own': a folder needs [[image.source.image]]");
    const std::string image = "[[image.source.image]]\nname = \"a\"\nfile = \"a\"\nsums = \"S\"\n";
    EXPECT_TRUE(refusal_of(own + "kind = \"index\"\nurl = \"https://x/i.json\"\n" + image)
                    .starts_with("image.source 'own': a source of kind index tells its images itself"));
    const std::string folder = own + "kind = \"folder\"\nurl = \"https://x/\"\n";
    EXPECT_EQ(refusal_of(folder + image + image), "image.source 'own': image 'a' stands twice");
    EXPECT_EQ(refusal_of(folder + image + "architectures = [\"x86_64\"]\n" + image +
                         "architectures = [\"aarch64\"]\n"),
              "(accepted)");
    EXPECT_EQ(refusal_of(folder + image + "signature = \".asc\"\n"),
              "image.source 'own': it has a signature, and no keyring to check it by");
    EXPECT_EQ(refusal_of(folder + "keyring = \"/k\"\n" + image),
              "image.source 'own': it has a keyring, and no image with a signature");
    EXPECT_EQ(refusal_of(folder + "keyring = \"/k\"\n" + image + "image_signature = \"clearsigned\"\n"),
              "image.source 'own': image 'a': an image is not clearsigned");
    EXPECT_EQ(refusal_of(folder + "signature = \".asc\"\nkeyring = \"/k\"\n" + image),
              "image.source 'own': 'signature' is of an index");
    EXPECT_EQ(refusal_of("[[image.source]]\nname = \"debian\"\nkind = \"index\"\n"),
              "image.source 'debian': it is built in as a folder");
}

TEST(ImageSources, ValuesAreCheckedWhereTheyStand) {
    const std::string own = "[[image.source]]\nname = \"own\"\n";
    const auto starts = [&](const std::string& line, const std::string& words) {
        const std::string what = refusal_of(own + line);
        EXPECT_TRUE(what.starts_with("image.source[0]." + words)) << what;
    };
    starts("kind = \"ftp\"\n", "kind: 'ftp' is not one of simplestreams, folder, index");
    starts("url = \"ftp://x/\"\n", "url: 'ftp://x/' is not a valid URL");
    starts("keyring = \"keys.gpg\"\n", "keyring: 'keys.gpg' is not the path of a keyring");
    starts("keyring = \"/etc/../keys.gpg\"\n", "keyring: ");
    starts("signature = \"asc\"\n", "signature: 'asc' is no form of signature");
    starts("[[image.source.image]]\nname = \"a\"\nsums = \"S\"\n", "image[0]: 'file' is missing");
    starts("[[image.source.image]]\nname = \"a\"\nfile = \"../a\"\nsums = \"S\"\n", "image[0].file: ");
    starts("[[image.source.image]]\nname = \"a\"\nfile = \"a\"\nsums = \"/S\"\n", "image[0].sums: ");
    starts("[[image.source.image]]\nname = \"a\"\nfile = \"a\"\nsums = \"S\"\narchitectures = [\"amd64\"]\n",
           "image[0].architectures[0]: 'amd64' is not one of x86_64");
    starts("mirror = \"x\"\n", "mirror: unknown key");
}

TEST(AddStep, KeepsTheNewestOfASource) {
    const auto entry = [](const char* source, const char* version) {
        CatalogueEntry one;
        one.name = Name::parse("a");
        one.source = Name::parse(source);
        one.version = ImageVersion::parse(version);
        return one;
    };
    Catalogue catalogue;
    add_step(catalogue, {{}, {entry("x", "1.9"), entry("y", "1.1")}, {}});
    add_step(catalogue,
             {{}, {entry("x", "1.10"), entry("y", "1.0")}, {{Name::parse("y"), "p", std::nullopt}}});
    ASSERT_EQ(catalogue.entries.size(), 2U);
    EXPECT_EQ(catalogue.entries[0].version.to_string(), "1.10");
    EXPECT_EQ(catalogue.entries[1].version.to_string(), "1.1");
    EXPECT_EQ(catalogue.problems.size(), 1U);
}

TEST(CatalogueDocumentJson, IsReadBackTheSame) {
    const CatalogueDocument document =
        documents_of(test::builtin_source("opensuse"), {Architecture::x86_64}).front();
    EXPECT_EQ(encode(decode<CatalogueDocument>(encode(document))), encode(document));
}

} // namespace
} // namespace capsul
