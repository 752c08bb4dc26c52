// Images on their way out: every format, and back in.
#include "tests/integration/image_fixture.hpp"

#include <array>

namespace capsul {
namespace {

class ImageExportTest : public ImageServiceTest {
  protected:
    ImageExportTest() { disk_ = random_bytes(2 * mib) + std::string(2 * mib, '\0'); }

    Download made(const ImageExport& call) {
        const Operation operation = finished(service_->export_disk(call));
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Download>(*operation.result);
    }

    std::string fetched(const Uuid& id) {
        const DownloadResponse response = service_->download(id);
        std::string content;
        std::array<char, 100'000> piece{};
        while (content.size() < response.size) {
            const std::size_t got = response.read(piece);
            if (got == 0) {
                ADD_FAILURE() << "less than was promised";
                break;
            }
            content.append(piece.data(), got);
        }
        EXPECT_EQ(content.size(), response.size);
        return content;
    }

    std::string exported(ExportFormat format, bool compress = false) {
        const Download download = made({Name::parse("lab"), format, compress});
        std::string content = fetched(download.id);
        EXPECT_EQ(content.size(), download.size);
        return content;
    }

    std::string raw_of(const std::string& content, const std::string& format) {
        const fs::path file = work_ / "exported";
        std::ofstream(file, std::ios::binary) << content;
        qemu_img({"convert", "-f", format, "-O", "raw", file.string(), (work_ / "back").string()});
        return slurp(work_ / "back");
    }

    std::string disk_;
};

TEST_F(ImageExportTest, GivesTheVeryFileAsQcow2) {
    const std::string file = slurp(make_filled_disk("a", 2 * mib));
    import("lab", file);
    const auto before = kept();
    EXPECT_TRUE(exported(ExportFormat::qcow2) == file);
    EXPECT_EQ(kept(), before) << "nothing of it is left";
    EXPECT_FALSE(service_->show(Name::parse("lab")).broken);
}

TEST_F(ImageExportTest, ConvertsToEveryFormat) {
    import("lab", disk_);
    const auto before = kept();
    EXPECT_TRUE(exported(ExportFormat::raw) == disk_);
    EXPECT_TRUE(raw_of(exported(ExportFormat::qcow2, true), "qcow2") == disk_);
    EXPECT_TRUE(raw_of(exported(ExportFormat::vmdk), "vmdk") == disk_);
    const std::string small = exported(ExportFormat::vmdk, true);
    EXPECT_NE(small.substr(0, 4096).find("streamOptimized"), std::string::npos);
    EXPECT_TRUE(raw_of(small, "vmdk") == disk_);
    EXPECT_EQ(kept(), before);
}

TEST_F(ImageExportTest, MakesCompressedOnesSmaller) {
    import("lab", std::string(mib, 'x') + std::string(mib, 'y'));
    EXPECT_LT(exported(ExportFormat::qcow2, true).size(), mib);
    EXPECT_LT(exported(ExportFormat::vmdk, true).size(), mib);
}

TEST_F(ImageExportTest, MakesOvasThatItTakesAgain) {
    import("lab", disk_);
    const std::string ova = exported(ExportFormat::ova);
    EXPECT_EQ(ova.substr(257, 5), "ustar");
    const fs::path file = work_ / "lab.ova";
    std::ofstream(file, std::ios::binary) << ova;
    const ProcessResult listed = run_process({"tar", "-tf", file.string()}, 60s);
    EXPECT_EQ(listed.out, "lab.ovf\nlab.mf\nlab-disk1.vmdk\n") << listed.err;
    const Image again = import("again", ova);
    EXPECT_EQ(again.size, Bytes(4 * mib));
    qemu_img({"convert", "-f", "qcow2", "-O", "raw", service_->disk_path(*again.digest).string(),
              (work_ / "back").string()});
    EXPECT_TRUE(slurp(work_ / "back") == disk_);
}

TEST_F(ImageExportTest, RefusesWhatMakesNoSense) {
    import("lab", disk_);
    EXPECT_THROW(service_->export_disk({Name::parse("lab"), ExportFormat::raw, true}), Error);
    EXPECT_THROW(service_->export_disk({Name::parse("nothing"), ExportFormat::raw, false}), Error);
}

TEST_F(ImageExportTest, LetsAFileBeFetchedOnce) {
    import("lab", disk_);
    const auto before = kept();
    const Uuid id = made({Name::parse("lab"), ExportFormat::raw, false}).id;
    {
        const DownloadResponse begun = service_->download(id);
        try {
            static_cast<void>(service_->download(id));
            ADD_FAILURE() << "twice";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_found);
        }
        EXPECT_THROW(static_cast<void>(service_->download(Uuid::make())), Error);
    }
    EXPECT_EQ(kept(), before) << "whoever went away has left nothing";
}

TEST_F(ImageExportTest, LetsTheImageGoMeanwhile) {
    const std::string file = slurp(make_filled_disk("a", 2 * mib));
    import("lab", file);
    const Uuid id = made({Name::parse("lab"), ExportFormat::qcow2, false}).id;
    remove(Name::parse("lab"));
    EXPECT_TRUE(fetched(id) == file);
    EXPECT_TRUE(kept().empty());
}

TEST_F(ImageExportTest, ForgetsWhatNobodyFetches) {
    import("lab", disk_);
    const auto before = kept();
    const Uuid id = made({Name::parse("lab"), ExportFormat::raw, false}).id;
    service_->expire();
    EXPECT_NE(kept(), before) << "it is kept for a while";
    fs::last_write_time(paths_.downloads() / id.to_string(), fs::file_time_type::clock::now() - 61min);
    service_->expire();
    EXPECT_EQ(kept(), before);
}

TEST_F(ImageExportTest, SweepsWhatACrashLeft) {
    import("lab", disk_);
    const auto before = kept();
    made({Name::parse("lab"), ExportFormat::raw, false});
    make_folders(paths_.downloads() / "x.claimed");
    std::ofstream(paths_.downloads() / "x.claimed/file") << "half";
    end();
    start();
    EXPECT_EQ(kept(), before);
}

} // namespace
} // namespace capsul
