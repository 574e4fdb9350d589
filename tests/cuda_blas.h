// The part of cuBLAS that is used, for a host compiler, as its manual describes it: matrices lie column by column,
// C (m, n) = alpha · op(A) (m, k) · op(B) (k, n) + beta · C, op transposes for 1.
template <typename Real>
int gemm(int turn_a, int turn_b, int m, int n, int k, const Real *alpha, const Real *A, int lda, const Real *B,
         int ldb, const Real *beta, Real *C, int ldc) {
    std::vector<double> column(m);
    const int next_row = turn_a ? lda : 1, next_column = turn_a ? 1 : lda;
    for (int j = 0; j < n; j++) {
        column.assign(m, 0);
        for (int l = 0; l < k; l++) {
            const double b = turn_b ? B[j + l * ldb] : B[l + j * ldb];
            for (int i = 0; i < m; i++) column[i] += A[i * next_row + l * next_column] * b;
        }
        for (int i = 0; i < m; i++)
            C[i + j * ldc] = *alpha * (Real)column[i] + (*beta == 0 ? 0 : *beta * C[i + j * ldc]);
    }
    return 0;
}
static thread_local int has_workspace, math_mode;
extern "C" {
int cublasCreate_v2(void **handle) { return *handle = &has_workspace, 0; }
int cublasDestroy_v2(void *) { return 0; }
int cublasSetMathMode(void *, int mode) { return math_mode = mode, 0; }
int cublasGetMathMode(void *, int *mode) { return *mode = math_mode, 0; }
int cublasSetStream_v2(void *, void *) { return has_workspace = 0; }
int cublasSetWorkspace_v2(void *, void *workspace, std::size_t size) {
    return has_workspace = workspace && size >= 1 << 22, 0;
}
int cublasSgemm_v2(void *, int a, int b, int m, int n, int k, const float *alpha, const float *A, int lda,
                   const float *B, int ldb, const float *beta, float *C, int ldc) {
    return has_workspace ? gemm(a, b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc) : 1;
}
int cublasGemmEx(void *, int a, int b, int m, int n, int k, const float *alpha, const float *A, int type_a, int lda,
                 const float *B, int type_b, int ldb, const float *beta, float *C, int type_c, int ldc, int computed,
                 int algorithm) {
    const int CUDA_R_32F = 0, CUBLAS_COMPUTE_32F_FAST_16BF = 75, CUBLAS_GEMM_DEFAULT = -1;
    if (!has_workspace || computed != CUBLAS_COMPUTE_32F_FAST_16BF || algorithm != CUBLAS_GEMM_DEFAULT) return 1;
    if (type_a != CUDA_R_32F || type_b != CUDA_R_32F || type_c != CUDA_R_32F) return 1;
    auto rounded = [](const float *values, int lines, int line) {
        std::vector<float> found(values, values + lines * line);
        for (float &each : found) each = emulated::read_as_bfloat(bfloats(each, 0));
        return found;
    };
    const std::vector<float> left = rounded(A, a ? m : k, lda), right = rounded(B, b ? k : n, ldb);
    return gemm(a, b, m, n, k, alpha, left.data(), lda, right.data(), ldb, beta, C, ldc);
}
int cublasDgemm_v2(void *, int a, int b, int m, int n, int k, const double *alpha, const double *A, int lda,
                   const double *B, int ldb, const double *beta, double *C, int ldc) {
    return has_workspace ? gemm(a, b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc) : 1;
}
}
